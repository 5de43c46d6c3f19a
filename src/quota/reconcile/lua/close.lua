#!lua
-- Ends a round.
--
-- KEYS  1 the lock, 2 the round, 3 the answers
-- ARGV  1 the proxy that opened it
-- Reply 1, 0: it was given up
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0} end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return {1}
