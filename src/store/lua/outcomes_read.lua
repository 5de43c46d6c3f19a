#!lua
-- Adds up the last minutes of one offer with one credential.
--
-- KEYS  1 the outcomes, as outcomes_add.lua keeps them
-- ARGV  1 how many minutes count
-- Reply when a proxy last told of it (ms), and the counts; only 0 when none did
local packed = redis.call('GET', KEYS[1])
if not packed then return {0} end
local t = redis.call('TIME')
local minute = math.floor((t[1] * 1000 + math.floor(t[2] / 1000)) / 60000)
local all, reply = cmsgpack.unpack(packed), {}
reply[1] = all[1]
for _, one in ipairs(all[2]) do
  for i = 2, #one do
    local is_counted = one[1] > minute - tonumber(ARGV[1])
    reply[i] = (reply[i] or 0) + (is_counted and one[i] or 0)
  end
end
return reply
