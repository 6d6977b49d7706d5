-- heartbeat says that a worker lives, and compares what it runs with what the records say.
-- ARGV[1] worker   ARGV[2] what it is   ARGV[3...] the attempts that it runs: hash, token, ...
-- Returns {attempts whose token is no longer current, claims that it did not name}, both as hash, token, ...

redis.call('ZADD', prefix .. 'workers', now, ARGV[1])
redis.call('SET', prefix .. 'worker:' .. ARGV[1], ARGV[2])

local void, named = {}, {}
for i = 3, #ARGV, 2 do
  named[ARGV[i] .. ARGV[i + 1]] = true
  local current = words_of(try('HGET', prefix .. 't:' .. ARGV[i], 'state'))
  if current[STATUS] ~= 'processing' or current[TOKEN] ~= ARGV[i + 1] then -- a key that is no record is void
    void[#void + 1] = ARGV[i]
    void[#void + 1] = ARGV[i + 1]
  end
end

local unknown = {}
local claims = redis.call('HGETALL', prefix .. 'claims:' .. ARGV[1])
for i = 1, #claims, 2 do
  if not named[claims[i] .. claims[i + 1]] then
    unknown[#unknown + 1] = claims[i]
    unknown[#unknown + 1] = claims[i + 1]
  end
end
return {void, unknown}
