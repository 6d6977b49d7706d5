-- take takes a doorbell out of asynq's list, and claims the task that it is about in the same step, if claim_short would.
-- KEYS[1] the queue's prefix, then those of the rider   ARGV[1] token   ARGV[2] worker, then those of the rider
-- The rider returns false, or {what it took, the ref_id that it names or false}.
-- Returns false when nothing was taken, else {what the rider took, its ref_id, what claim_short returns}; false for the last when
-- it takes a claim of its own.

local rung = ride()
if not rung then
  return false
end
local queue, hash = string.match(rung[2] or '', '^(.*):(%x+)$')
if not hash or #hash ~= 32 or 'refq:{' .. queue .. '}:' ~= KEYS[1] then
  return {rung[1], false, false}
end
local function claim(KEYS, ARGV)
CLAIM
end
-- pcall: the doorbell is taken, and an error would keep it from whoever is to answer it.
local sound, answer = pcall(claim, {KEYS[1], KEYS[1] .. 't:' .. hash}, ARGV)
return {rung[1], rung[2], sound and answer}
