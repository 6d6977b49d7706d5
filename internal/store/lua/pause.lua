-- pause pauses a queue or a function.
-- ARGV[1] 'queue', or 'f:' and the function, with or without a version   ARGV[2] the key of the flag that says that the queue is
-- paused, empty for a function   ARGV[3] who   ARGV[4] for how many ms, or empty   ARGV[5] why, or empty
-- Returns the note. A resend writes another. Flag and note are written in one step, so neither is ever found without the other
-- for that. A flag that is there stays: the note then says who paused the queue last.

local ends = tonumber(ARGV[4])
local note = {at = now, by = ARGV[3], reason = ARGV[5] ~= '' and ARGV[5] or nil, ['until'] = ends and now + ends or nil}
if ARGV[2] ~= '' then
  note.flag = redis.call('GET', ARGV[2]) or clock[1]
end
local text = cjson.encode(note)
redis.call('HSET', prefix .. 'paused', ARGV[1], text)
if ARGV[2] ~= '' then
  redis.call('SET', ARGV[2], clock[1], 'NX')
end
tell_of_pauses()
return text
