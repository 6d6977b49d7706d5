-- read answers what is known of a task, and notes who waits for its end.
-- ARGV[1] inbox to tell, or empty   ARGV[2] 'result', 'history' or empty: what to read besides
-- Returns {record, result, its encoding} or {record, attempts, events}; false when there is no record.

local damaged = damage()
if damaged then
  return damaged
elseif not task[STATUS] then
  return false
end
add_waiter(ARGV[1])
save()

local function entries(counter, name)
  local n, fields = number(counter, 0), {}
  for i = math.max(1, n - HISTORY + 1), n do
    fields[#fields + 1] = name .. i
  end
  return n > 0 and redis.call('HMGET', record, unpack(fields)) or {}
end

if ARGV[2] == 'result' then
  local result, encoding = unpack(redis.call('HMGET', record, 'result', 'result_encoding'))
  return {public(), result, encoding}
elseif ARGV[2] == 'history' then
  local attempts, events = entries(HIST_N, 'attempt:'), entries(EVENT_N, 'event:')
  return {public(), attempts, events}
end
return {public()}
