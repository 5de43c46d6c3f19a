#!lua
-- Takes or gives back an organization's turn at asking the books: one proxy at a time.
--
-- KEYS  1 the turn
-- ARGV  1 whose it is, 2 for how long (ms), 0 gives it back
-- Reply 1: it is ours, or was; 0: it is another's
local whose = redis.call('GET', KEYS[1])
if whose and whose ~= ARGV[1] then return {0} end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return {1}
