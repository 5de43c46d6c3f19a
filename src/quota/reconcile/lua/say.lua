#!lua
-- Answers, when the round is still where it was.
--
-- KEYS  1 the round, 2 the answers
-- ARGV  1 the proxy, 2 the round and its phase, 3 the answer, 4 how long it is kept (ms)
-- Reply 1: it was heard, 0: it came too late
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0} end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {1}
