-- dequeue_and_claim takes a doorbell out of asynq's list, and claims the task that it is about in the same step, if
-- that is a case of claim's fast path.
-- KEYS[1] the queue's prefix, then those of the dequeue   ARGV[1] token   ARGV[2] worker, then those of the dequeue The
-- dequeue returns false, or {what it took, the ref_id that it names or false}.
-- Returns false when nothing was taken, else {what the dequeue took, its ref_id, what claim returns}; false for the
-- last when a claim is to follow.

local dequeued = dequeue()
if not dequeued then
  return false
end
local queue, hash = string.match(dequeued[2] or '', '^(.*):(%x+)$')
if not hash or #hash ~= 32 or 'refq:{' .. queue .. '}:' ~= KEYS[1] then
  return {dequeued[1], false, false}
end

FAST_CLAIM

-- pcall: the doorbell is taken, and an error would keep it from whoever is to answer it.
local ran, answer = pcall(fast, {KEYS[1], KEYS[1] .. 't:' .. hash}, ARGV)
return {dequeued[1], dequeued[2], ran and answer}
