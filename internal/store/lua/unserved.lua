-- unserved tells which of some functions are paused, and which no living worker of the queue knows.
-- ARGV[1] the key of the flag that says that the queue is paused   ARGV[2...] functions, each with its version
-- Returns for each what pause_of or unserved of lib.lua tells, or false.

local told = {}
for i = 2, #ARGV do
  told[i - 1] = pause_of(ARGV[i], ARGV[1]) or unserved(ARGV[i]) or false
end
return told
