-- unserved tells which of some functions are paused, and which no living worker of the queue knows; and which of some gates and keys
-- are paused.
-- ARGV[1] the key of the flag that says that the queue is paused   ARGV[2] how many functions
-- ARGV[3...] functions, each with its version; then gates and keys, as their fields of the hash of what is paused
-- Returns {for each function what pause_of or unserved of lib.lua tells, or false; for each of the others the note of its pause, or
-- false}.

local n, told, paused = tonumber(ARGV[2]), {}, {}
for i = 1, n do
  told[i] = pause_of(ARGV[i + 2], ARGV[1]) or unserved(ARGV[i + 2]) or false
end
for i, text in ipairs(#ARGV > n + 2 and redis.call('HMGET', prefix .. 'paused', unpack(ARGV, n + 3)) or {}) do
  local note = note_in(text)
  paused[i] = note and not is_over(note) and text or false
end
return {told, paused}
