-- Reads counters of calendar windows.
--
-- KEYS  counters
-- ARGV  1 the epoch
-- Reply per counter: the start of its window and what is used in it, -1 twice when it is not known
local reply = {}
for i = 1, #KEYS do
  local counter = open(KEYS[i])
  local is_known = counter and counter[1] == tonumber(ARGV[1])
  reply[2 * i - 1] = is_known and counter[4] or -1
  reply[2 * i] = is_known and counter[5] or -1
end
return reply
