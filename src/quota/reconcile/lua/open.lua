#!lua
-- Opens a round of reconciling, when the last one was long enough ago; one at a time.
--
-- KEYS  1 the lock, 2 the round, 3 the answers, 4 when the last round was opened, 5 the registry of proxies
-- ARGV  1 the proxy that opens it, 2 the round, 3 how long it may take (ms), 4 how long ago the last one must be (ms)
-- Reply 1 and the clock (ms); 0: another proxy is at it, or it is too early
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[4]) or 0)
local is_early = last <= now and now < last + tonumber(ARGV[4])
local holder = redis.call('GET', KEYS[1])
-- Of a proxy that is gone the lock is nobody's; should it come back, what it still corrects is refused.
if is_early or holder and redis.call('ZSCORE', KEYS[5], holder) then return {0, 0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('DEL', KEYS[3])
redis.call('SET', KEYS[2], ARGV[2] .. ':1', 'PX', ARGV[3])
redis.call('SET', KEYS[4], string.format('%.0f', now), 'PX', 86400000)
return {1, now}
