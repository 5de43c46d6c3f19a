#!lua
-- Asks every proxy for what its holds stand for.
--
-- KEYS  1 the lock, 2 the round
-- ARGV  1 the proxy that opened it, 2 the round
-- Reply 1, 0: it was given up
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
redis.call('SET', KEYS[2], ARGV[2] .. ':2', 'KEEPTTL')
return {1}
