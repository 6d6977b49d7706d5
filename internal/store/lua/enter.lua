-- enter has a running attempt ask for its turn, whose call came without one, or in another gate than its function has here.
-- ARGV[1] token   ARGV[2] the turn that it should have
-- Returns {1 when it goes on, 2 when the task waits now, 0 when the token is not current; who was let in}

local damaged = damage()
if damaged then
  return damaged
end
if not FROM[task[STATUS]] or task[TOKEN] ~= ARGV[1] then
  return {0}
end
local made = string.match(stored[TURN] or '', '(%d+)$') or task[UPDATED_AT] ~= '' and task[UPDATED_AT] or task[CREATED_AT]
local text = ARGV[2] .. '/' .. made
if stored[TURN] == text then
  return {1}
end
local old, turn = turn_in(stored[TURN]), turn_in(text)
if old then
  the_gates().give_back(old.gate, old.key, hash)
end
set_field(TURN, 'turn', text)
local answer = 1
if may_start(turn) then
  begins(turn)
else
  answer, last_token = 2, ARGV[1]
  take_back(function() wait_for_turn(turn) end)
end
save()
return {answer, the_gates().written()}
