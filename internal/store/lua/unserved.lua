-- unserved tells which of some functions no living worker of the queue knows.
-- ARGV[1...] functions, each with its version
-- Returns for each what unserved of lib.lua tells, or false.

local told = {}
for i, name in ipairs(ARGV) do
  told[i] = unserved(name) or false
end
return told
