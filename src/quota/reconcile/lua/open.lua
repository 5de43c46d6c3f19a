#!lua
-- Opens a round of reconciling, when the last one was long enough ago; one at a time.
--
-- KEYS  1 the lock, 2 the round, 3 the answers, 4 when the last round was opened
-- ARGV  1 the proxy that opens it, 2 the round, 3 how long it may take (ms), 4 how long ago the last one must be (ms)
-- Reply 1 and the clock (ms); 0: another proxy is at it, or it is too early
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[4]) or 0)
local is_early = last <= now and now < last + tonumber(ARGV[4])
if is_early or redis.call('GET', KEYS[1]) then return {0, 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[2], ARGV[2] .. ':1', 'PX', ARGV[3])
redis.call('SET', KEYS[4], string.format('%.0f', now), 'PX', 86400000)
return {1, now}
