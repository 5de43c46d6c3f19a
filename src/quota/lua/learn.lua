-- Lowers what is left of a provider's allowances to what the provider says; never raises it. All in one slot.
--
-- KEYS  1 epoch, 2.. counters
-- ARGV  1 the epoch as the proxy knows it
--       2 one JSON list of whole numbers, six per counter: width, start and end of the window it is of (0 for rings),
--         amount, how much is left (2^53 - 1: only asked for), in how many ms it is back (0: not said)
-- Reply per counter: how much is left by our count, -1 when nobody has counted yet; none: epoch
if not epoch_of(redis.call('GET', KEYS[1]), ARGV[1]) then return {} end
local n = cjson.decode(ARGV[2])
local reply = {}

local function learn(key, b)
  local counter = open(key)
  if not counter or counter[1] == 0 then return -1 end
  local width, start, stop, amount, left, reset = n[b + 1], n[b + 2], n[b + 3], n[b + 4], n[b + 5], n[b + 6]
  local used
  if width > 0 then used = roll_ring(counter, width, tick)
  else used = roll_window(counter, start, stop) end
  -- The window they spoke of is over, or not yet ours.
  if width == 0 and counter[4] ~= start then return max(0, amount - used) end
  local by = amount - left - used
  if by > 0 then
    local slot = counter[4]
    -- A ring forgets it when the provider does.
    if width > 0 and reset > 0 then
      slot = max(slot - 24, min(slot, math.ceil((tick + reset) / width) + (counter[30] or 0) - 25))
    end
    amend(counter, width, slot, by)
    redis.call('SET', key, cmsgpack.pack(unpack(counter)), 'KEEPTTL')
    used = used + by
  end
  return max(0, amount - used)
end

for i = 2, #KEYS do reply[i - 1] = learn(KEYS[i], (i - 2) * 6) end
return reply
