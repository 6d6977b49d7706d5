-- dequeue takes a doorbell out of asynq's list by asynq's own script.
-- KEYS and ARGV as that has them.
-- Returns false when there is none, else {asynq's message, the ref_id in it}; false for that when it is not where it should be.
-- A message is a protobuf: of each field its number and kind in a byte, its length in another if it is below 128, and its text.
-- The first is the type, the second the payload.

local message = (function()
DEQUEUE
end)()
if not message then
  return false
end
local type_of, type_size = string.byte(message, 1, 2)
local at = 3 + (type_size or 0)
local payload, size = string.byte(message, at, at + 1)
if type_of == 10 and type_size < 128 and payload == 18 and size and size < 128 then
  return {message, string.sub(message, at + 2, at + 1 + size)}
end
return {message, false}
