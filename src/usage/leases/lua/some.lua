#!lua
-- Shows some of the calls a proxy left.
--
-- KEYS  1 its leases
-- ARGV  1 how many at most
-- Reply the id and the row of each
return redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
