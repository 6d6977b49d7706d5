-- permitted tells which commands Redis does not let us use on a key. Nothing of what it tries stays. It stands alone,
-- without lib.lua, which would end where TIME is not permitted.
-- KEYS[1] the key   ARGV[1] 'scratch' if nobody else uses it, or 'shared'
-- ARGV[2...] commands, their words parted by spaces, $ for the key
-- Returns {the commands that are not permitted, why Redis takes no write, or empty}.
-- Redis 7 can be asked. Before that a command has to be tried, which is done with a scratch key alone.

local scratch = ARGV[1] == 'scratch'

local function words(command)
  local found = {}
  for word in string.gmatch(command, '%S+') do
    found[#found + 1] = word == '$' and KEYS[1] or word
  end
  return found
end

local function refused(command)
  if redis.acl_check_cmd then
    local known, permitted = pcall(redis.acl_check_cmd, unpack(words(command))) -- a command that was renamed is an error
    return not (known and permitted)
  elseif not scratch then
    return false
  end
  local reply = redis.pcall(unpack(words(command)))
  redis.pcall('DEL', KEYS[1])
  return type(reply) == 'table' and reply.err ~= nil and not string.find(reply.err, 'no such key', 1, true) -- LSET makes none
end

-- Whether Redis takes writes shows only in the first one of a script. One that is full takes what follows the DEL below.
local write = scratch and redis.pcall('SET', KEYS[1], '', 'PX', 1) or {}
local state = string.match(write.err or '', '^%-?(%u+) ')
local full = state == 'OOM' and write.err or ''
if state and state ~= 'ERR' and state ~= 'NOPERM' and full == '' then
  return {{}, write.err}
end

local found = {}
if scratch and refused('DEL $') then
  found[1] = 'DEL'
  if not redis.acl_check_cmd then
    return {found, full} -- what is tried would stay
  end
end
for i = 2, #ARGV do
  if refused(ARGV[i]) then
    found[#found + 1] = words(ARGV[i])[1]
  end
end
if scratch then
  redis.pcall('DEL', KEYS[1])
end
return {found, full}
