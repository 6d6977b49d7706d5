-- new_delivery gives a task that waits a new doorbell, because the old one will not ring.
-- ARGV[1] the delivery that the caller knows
-- Returns the record as it then is, or false when there is none.

local damaged = damage()
if damaged then
  return damaged
end
if not task[STATUS] then
  return false
end
if FROM[task[STATUS]] and number(DELIVERY, 1) == tonumber(ARGV[1]) then
  new_delivery()
  save()
end
return public()
