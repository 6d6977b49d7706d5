-- wake_for wakes an idle worker that knows a name.
-- ARGV[1] the name
-- Returns how many were woken: 1, or 0.

return wake_for(ARGV[1], 1)
