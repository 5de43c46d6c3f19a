#!lua
-- Names the proxies that were not heard for some time.
--
-- KEYS  1 the registry
-- ARGV  1 for how long (ms)
-- Reply their names
local t = redis.call('TIME')
local until_then = t[1] * 1000 + math.floor(t[2] / 1000) - tonumber(ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', until_then))
