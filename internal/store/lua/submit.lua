-- submit makes a call: it creates the task, gives an ended one a new life, or finds what is there.
-- ARGV[1] request id   ARGV[2] inbox to tell, or empty   ARGV[3] revive: 'failed', 'complete', both joined by a comma, or empty
-- ARGV[4] namespace   ARGV[5] function   ARGV[6] version   ARGV[7] arguments   ARGV[8...] policy: field, value, ...; also 'trace' and
-- where the trace of the call is
-- Returns {record, result, its encoding, 1 if this call started the life that the record shows}.
-- A resend finds its own request id and only reads (R11).

if not task then
  return damage()
end
local status, mine = task[STATUS], task[REQ] == ARGV[1]
local asked = status == 'cancelled' or string.find(',' .. ARGV[3] .. ',', ',' .. tostring(status) .. ',', 1, true)
local starts = not status or (not mine and FROM[status] and asked and not newer())
local damaged = starts and damage() -- a reader finds out by itself
if damaged then
  return damaged
end

if starts then
  if status then
    revive()
    fresh_budget()
    clear(LAST_ERROR, TRACE, unpack(POLICY))
  else
    put(CREATED_AT, now)
    move('pending', now)
    put(FUNC, ARGV[5])
    changes.args = ARGV[7]
    if ARGV[4] ~= DEFAULT_NS then put(NS, ARGV[4]) end
    if ARGV[6] ~= '1' then put(VERSION, ARGV[6]) end
  end
  put(REQ, ARGV[1])
  for i = 8, #ARGV, 2 do
    put(tonumber(ARGV[i]) or TRACE, ARGV[i + 1])
  end
end
add_waiter(ARGV[2])
save()

local result, encoding = task[RESULT], task[RESULT_ENCODING]
return {public(), result, encoding, (starts or mine) and 1 or 0}
