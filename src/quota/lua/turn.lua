-- Takes or gives back an organization's turn at asking the books: one proxy at a time, as long as something is unknown.
--
-- KEYS  1 the turn, 2.. counters
-- ARGV  1 whose it is, 2 for how long (ms), 0 gives it back, 3 the epoch
-- Reply 1: it is ours, or was; 0: it is another's; 2: all the counters are known meanwhile
local whose = redis.call('GET', KEYS[1])
if whose and whose ~= ARGV[1] then return {0} end
local is_known = #KEYS > 1
for i = 2, #KEYS do
  local counter = open(KEYS[i])
  is_known = is_known and counter and counter[1] == tonumber(ARGV[3])
end
if is_known then return {2} end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return {1}
