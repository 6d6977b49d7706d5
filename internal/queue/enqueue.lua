-- enqueue puts a doorbell into asynq's list by asynq's own script, and wakes an idle worker for it.
-- KEYS and ARGV of asynq's script; then the idle workers as the last of KEYS, and as the last of ARGV the queue, or empty to
-- wake nobody.
-- Returns what asynq's script does: 1, or 0 when asynq holds a doorbell with this id.

local added = (function()
ENQUEUE
end)()
if added == 1 and ARGV[#ARGV] ~= '' then
  local KEYS, ARGV = {KEYS[#KEYS]}, {1, ARGV[#ARGV]}
  local woken = (function()
WAKE
  end)()
end
return added
