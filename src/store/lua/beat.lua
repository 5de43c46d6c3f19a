#!lua
-- Notes that a proxy lives.
--
-- KEYS  1 the registry, 2 the mark of a proxy that was given up
-- ARGV  1 the proxy
-- Reply 1: the others had given it up, 0: they had not
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
-- Longer than anybody is away who still comes back; nothing stays forever.
redis.call('PEXPIRE', KEYS[1], 2678400000)
return {redis.call('DEL', KEYS[2])}
