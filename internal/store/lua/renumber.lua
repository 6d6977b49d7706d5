-- renumber gives a task that waits a new doorbell, because the old one will not ring.
-- ARGV[1] the delivery that the caller knows
-- Returns the record as it then is, or false when there is none.

local damaged = damage()
if damaged then
  return damaged
end
local status, delivery = get('status', 'delivery')
if not status then
  return false
end
if FROM[status] and (delivery or '1') == ARGV[1] then
  new_delivery()
end
return read()
