#!lua
-- Takes everything that lies there.
--
-- KEYS  1 what lies there
-- Reply pairs: of what, how much
local packed = redis.call('GET', KEYS[1])
local reply = {}
if not packed or packed == '' then return reply end
for subject, amount in pairs(cmsgpack.unpack(packed)) do
  reply[#reply + 1] = subject
  reply[#reply + 1] = string.format('%.0f', amount)
end
redis.call('SET', KEYS[1], '', 'PX', 1000)
return reply
