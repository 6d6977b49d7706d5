-- dequeue takes a doorbell out of a list by asynq's own script.
-- KEYS and ARGV as that has them; KEYS[1] is the list.
-- Returns false when there is none, else {asynq's message, the ref_id in it, asynq's id of it}; false for either when it is not
-- where it should be.
-- A message is a protobuf: of each field its number and kind in a byte, its length in another if it is below 128, and its text.
-- The first is the type, the second the payload, the third the id.

local message = (function()
DEQUEUE
end)()
if not message then
  return false
end
local type_of, type_size = string.byte(message, 1, 2)
local at = 3 + (type_size or 0)
local payload, size = string.byte(message, at, at + 1)
if type_of ~= 10 or type_size >= 128 or payload ~= 18 or not size or size >= 128 then
  return {message, false, false}
end
local ref = string.sub(message, at + 2, at + 1 + size)
at = at + 2 + size
local id, id_size = string.byte(message, at, at + 1)
return {message, ref, id == 26 and id_size < 128 and string.sub(message, at + 2, at + 1 + id_size)}
