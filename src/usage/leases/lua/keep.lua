#!lua
-- Keeps the open calls of one proxy, and lets those go that are in the books.
--
-- KEYS  1 its leases
-- ARGV  1 whether all that is there goes first, 2 how many are kept, then the id and the row of each, then the ids of
--       those that go
-- Reply how many there are now
if ARGV[1] == '1' then redis.call('DEL', KEYS[1]) end
local kept = tonumber(ARGV[2])
for i = 3, 2 * kept + 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = 2 * kept + 3, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], 604800000)
return {redis.call('HLEN', KEYS[1])}
