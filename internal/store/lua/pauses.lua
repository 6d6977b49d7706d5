-- pauses tells what is paused in a queue. It changes nothing.
-- ARGV[1] the key of the flag that says that the queue is paused
-- Returns {note of the queue's pause, or false; all else that is paused, as its field of the hash, with its note, ...}.

local all, found = redis.call('HGETALL', prefix .. 'paused'), {false}
local of_queue = nil
for i = 1, #all, 2 do
  local note = note_in(all[i + 1])
  if all[i] == 'queue' then
    of_queue = all[i + 1]
  elseif note and not is_over(note) then
    found[#found + 1] = all[i]
    found[#found + 1] = all[i + 1]
  end
end
found[1] = queue_pause(ARGV[1], of_queue) or false
return found
