-- declare gives gates the numbers that living workers declare, whatever dead ones have declared since.
-- ARGV[1...] for each gate: its name, its numbers, since when the worker runs in ms, the worker
-- Returns {who was let in}

for i = 1, #ARGV, 4 do
  the_gates().declare(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], true)
end
return {the_gates().written()}
