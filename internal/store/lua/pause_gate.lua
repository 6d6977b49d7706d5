-- pause_gate pauses a gate, or one of its keys, or ends that. The note of who did it stands beside those of other pauses; what the
-- gate itself says counts, so that no call starts from then on.
-- ARGV[1] gate   ARGV[2] '1' for one of its keys   ARGV[3] that key   ARGV[4] who, empty to resume   ARGV[5] for how many ms, or empty
-- ARGV[6] why, or empty
-- Returns false when the queue has no such gate, else {the note, or '' when it was not paused; who was let in}.

local at, field = prefix .. 'gate:' .. ARGV[1], 'g:' .. ARGV[1]
if ARGV[2] == '1' then
  at, field = at .. ':k:' .. ARGV[3], 'k:' .. ARGV[1] .. '/' .. ARGV[3]
end
local text = redis.call('HGET', prefix .. 'paused', field) or ''
if redis.call('SISMEMBER', prefix .. 'gates', ARGV[1]) == 0 then
  redis.call('HDEL', prefix .. 'paused', field) -- of a gate that is gone
  return text ~= '' and ARGV[4] == '' and {text, {}}
end
if ARGV[4] ~= '' then
  local ends = tonumber(ARGV[5])
  local note = {at = now, by = ARGV[4], reason = ARGV[6] ~= '' and ARGV[6] or nil, ['until'] = ends and now + ends or nil}
  text = cjson.encode(note)
  redis.call('HSET', prefix .. 'paused', field, text)
  redis.call('HSET', at, 'paused_until', ends and whole_text(now + ends) or '')
else
  redis.call('HDEL', prefix .. 'paused', field)
  redis.call('HDEL', at, 'paused_until')
end
local gate = the_gates().gate_of(ARGV[1])
if ARGV[2] == '1' then
  local key = the_gates().key_of(gate, ARGV[3])
  key.dirty = true -- one that is paused does not expire
  the_gates().place(gate, key)
end
the_gates().admit(gate, DUE_TRIED)
return {text, the_gates().written()}
