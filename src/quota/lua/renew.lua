-- Renews the leases of holds that count as in flight.
--
-- KEYS  records
-- ARGV  1 lease ms
-- Reply per record: 1 renewed, 0 unknown, 2 ended
local lease = tonumber(ARGV[1])
local reply = {}

local function renew(key)
  local record = redis.call('GET', key)
  if not record then return 0 end
  if sub(record, 1, 1) ~= 'H' then return 2 end
  local list = unpack_record(record)
  for r = 3, #list, 6 do
    if list[r + 1] == IN_FLIGHT then
      local width, slot, amount = list[r + 3], list[r + 4], list[r + 5]
      local newest = floor((now + lease) / width)
      local counter = open(list[r]) or fresh(width, newest)
      roll_ring(counter, newest)
      amend(counter, width, slot, -amount)
      amend(counter, width, counter[4], amount)
      keep(list[r], counter, 2 * lease)
      list[r + 4] = counter[4]
    end
  end
  keep_record(key, list)
  return 1
end

for i = 1, #KEYS do reply[i] = renew(KEYS[i]) end
return reply
