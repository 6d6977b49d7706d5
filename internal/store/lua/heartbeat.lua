-- heartbeat says that a worker lives, and compares what it runs with what the records say.
-- ARGV[1] worker   ARGV[2] what it is   ARGV[3] hash of the text that it declares, or empty   ARGV[4] that text, or empty if
-- it is there   ARGV[5] '1' to keep the text that is there   ARGV[6] the gates of its functions, or empty when they are known:
-- since when it runs in ms, and for each gate its name and its numbers, all joined by spaces
-- ARGV[7...] the attempts that it runs: hash, token, ...
-- Returns {attempts whose token is no longer current, claims that it did not name, both as hash, token, ...; 1 if the text
-- is not there; 1 if doorbells are set aside in the queue; what is paused there, as fields of its hash; who was let in}.
-- What the worker is names what it knows. It is written down by name when nothing is known of the worker: at its first beat,
-- and after a flush. What is paused, or what it cannot run now, it knows not.
-- A full Redis takes it: a worker that lives must not look dead then.

local there, paused = redis.call('EXISTS', prefix .. 'aside', prefix .. 'paused'), {}
if there > 0 then
  paused = redis.call('HKEYS', prefix .. 'paused')
end

redis.call('ZREM', prefix .. 'workers', ARGV[1]) -- a full Redis refuses only what may grow, and only as a script's first write
redis.call('ZADD', prefix .. 'workers', now, ARGV[1])
if not redis.call('SET', prefix .. 'worker:' .. ARGV[1], ARGV[2], 'GET') then
  local unready = unready_in(ARGV[2]) or {}
  for _, name in ipairs(names_of(ARGV[2])) do
    if not is_among(paused, name) and not unready[name] then
      redis.call('SADD', prefix .. 'knows:' .. name, ARGV[1])
    end
  end
end

local gone = 0
if ARGV[3] ~= '' then
  local declared = prefix .. 'declared:' .. ARGV[3]
  if ARGV[4] ~= '' then
    redis.call('SET', declared, ARGV[4], 'PX', DECLARED_FOR)
  elseif redis.call('EXISTS', declared) == 0 then
    gone = 1
  elseif ARGV[5] == '1' then
    redis.call('PEXPIRE', declared, DECLARED_FOR)
  end
end

local void, named = {}, {}
for i = 7, #ARGV, 2 do
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

local let_in = nil
if ARGV[6] ~= '' then
  local since, words = string.match(ARGV[6], '^(%d+) (.*)$')
  for name, numbers in string.gmatch(words, '([^ ]+) ([^ ]+)') do
    the_gates().declare(name, numbers, tonumber(since), ARGV[1])
  end
  let_in = the_gates().written()
end
return {void, unknown, gone, #paused > 0 and there - 1 or there, paused, let_in}
