-- read answers what is known of a task, and notes who waits for its end.
-- ARGV[1] inbox to tell, or empty   ARGV[2] 'result', 'history', 'all' or empty: what to read besides
-- ARGV[3] the key of the flag that says that the queue is paused
-- Returns {record, result, its encoding}, {record, attempts, events} or {record, result, its encoding, attempts, events,
-- arguments}; false when there is no record. Of a task that nobody can run the answer has at place 7 {'queue'} or
-- {'function', how many functions the workers of the queue know, some of these, ...}, and of one that is held up by a pause
-- {'paused', 'queue' or 'function', the function as it was paused, the note}. Of one that waits for its turn it has at place 8
-- {gate, key, share, position, how many run, how many may, why it does not start, when time lets the next start in ms, or false;
-- the notes of the pauses of gate and key, or false}.

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

local answer = {public()}
if ARGV[2] == 'result' or ARGV[2] == 'all' then
  answer[2], answer[3] = unpack(redis.call('HMGET', record, 'result', 'result_encoding'))
  answer[2] = may_answer() and answer[2]
end
if ARGV[2] == 'history' or ARGV[2] == 'all' then
  answer[#answer + 1] = entries(HIST_N, 'attempt:')
  answer[#answer + 1] = entries(EVENT_N, 'event:')
end
if ARGV[2] == 'all' then
  answer[#answer + 1] = redis.call('HGET', record, 'args')
end

-- waits is whether the task could be run, or waits for its turn, for longer than UNSERVED_AFTER.
local function waits()
  local ready = tonumber(task[STATUS] == 'retrying' and task[NEXT_RETRY_AT] or task[UPDATED_AT]) or tonumber(task[CREATED_AT])
  local status = task[STATUS]
  return (status == 'pending' or status == 'retrying' or status == 'waiting') and ready and now - ready > UNSERVED_AFTER
end

local name = waits() and function_in(stored[POLICY])
local nobody = name and (pause_of(name, ARGV[3]) or unserved(name))
local turn = task[STATUS] == 'waiting' and turn_in(stored[TURN])
if nobody or turn then
  for place = 1, 6 do
    answer[place] = answer[place] or false
  end
  answer[7] = nobody or false
  answer[8] = turn and the_gates().stands(turn.gate, turn.key, turn.share, hash)
end
return answer
