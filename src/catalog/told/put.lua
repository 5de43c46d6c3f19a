#!lua
-- Lays down what providers say of their allowances, until somebody takes it. The larger word stands: credentials of
-- one provider may have different ones, and each is counted down by its own.
--
-- KEYS  1 what lies there
-- ARGV  pairs: of what, how much
local packed = redis.call('GET', KEYS[1])
local lies, n = packed and packed ~= '' and cmsgpack.unpack(packed) or {}, 0
for _ in pairs(lies) do n = n + 1 end
for i = 1, #ARGV, 2 do
  local amount, known = tonumber(ARGV[i + 1]), lies[ARGV[i]]
  if known or n < 10000 then
    lies[ARGV[i]] = math.max(known or 0, amount)
    n = n + 1
  end
end
redis.call('SET', KEYS[1], cmsgpack.pack(lies), 'PX', 86400000)
return {n}
