#!lua
-- Adds what a proxy counted of one offer with one credential to the minute it is.
--
-- KEYS  1 the outcomes: a packed list of minutes, each minute's number and its counts
-- ARGV  1 how many minutes are kept, 2.. the counts
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local minute, kept = math.floor(now / 60000), tonumber(ARGV[1])
local packed = redis.call('GET', KEYS[1])
local all, minutes, mine = packed and cmsgpack.unpack(packed) or {0, {}}, {}, nil
for _, one in ipairs(all[2]) do
  if one[1] > minute - kept and one[1] <= minute then minutes[#minutes + 1] = one end
  if one[1] == minute then mine = one end
end
if not mine then
  mine = {minute}
  for i = 2, #ARGV do mine[i] = 0 end
  minutes[#minutes + 1] = mine
end
for i = 2, #ARGV do mine[i] = (mine[i] or 0) + tonumber(ARGV[i]) end
redis.call('SET', KEYS[1], cmsgpack.pack({now, minutes}), 'PX', 3600000)
return {1}
