#!lua
-- Shows what every living proxy answered.
--
-- KEYS  1 the registry of proxies, 2 the answers
-- Reply per proxy: its name and its last answer, empty without one
local reply = {}
for _, proxy in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  reply[#reply + 1] = proxy
  reply[#reply + 1] = redis.call('HGET', KEYS[2], proxy) or ''
end
return reply
