#!lua
-- Takes a proxy out of the registry, when it was not heard for some time. Should it live after all, it finds the mark.
--
-- KEYS  1 the registry, 2 the mark
-- ARGV  1 the proxy, 2 for how long (ms; 0 whatever it said), 3 how long the mark stays (ms)
-- Reply 1: it is forgotten, 0: it was heard
local t = redis.call('TIME')
local heard = redis.call('ZSCORE', KEYS[1], ARGV[1])
local silence = tonumber(ARGV[2])
if heard and 0 < silence and t[1] * 1000 + math.floor(t[2] / 1000) - tonumber(heard) < silence then return {0} end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[3])
return {1}
