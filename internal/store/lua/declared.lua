-- declared tells what the living workers of a queue declare. It changes nothing.
-- Returns {workers as id, what it is, digest of what it declares, ...; texts as digest, text, ...}

local workers, texts, told = {}, {}, {}
local beats = redis.call('ZRANGE', prefix .. 'workers', 0, -1, 'WITHSCORES')
for i = 1, #beats, 2 do
  if now - tonumber(beats[i + 1]) <= DEAD_AFTER then
    local about = redis.call('GET', prefix .. 'worker:' .. beats[i]) or ''
    local digest = string.match(about, '"declares":"(%x+)"') or ''
    workers[#workers + 1] = beats[i]
    workers[#workers + 1] = about
    workers[#workers + 1] = digest
    if digest ~= '' and not told[digest] then
      told[digest] = true
      texts[#texts + 1] = digest
      texts[#texts + 1] = redis.call('GET', prefix .. 'declared:' .. digest) or ''
    end
  end
end
return {workers, texts}
