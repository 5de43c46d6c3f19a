-- Renews the leases of holds that count as in flight.
--
-- KEYS  1 number, 2.. records
-- ARGV  1 lease ms
-- Reply per record: 1 renewed, 0 unknown, 2 ended
local lease = tonumber(ARGV[1])
local reply = {}

local function renew(key)
  local record = redis.call('GET', key)
  if not record then return 0 end
  if sub(record, 1, 1) ~= 'H' then return 2 end
  local list, counters = unpack_record(record), {}
  -- All is read before anything is written: a counter that is just moving to another server stops the script.
  for r = 3, #list, 6 do
    if list[r + 1] == IN_FLIGHT then counters[r] = open(list[r]) or fresh(list[r + 3], floor((now + lease) / list[r + 3])) end
  end
  for r, counter in pairs(counters) do
    local width, slot, amount = list[r + 3], list[r + 4], list[r + 5]
    roll_ring(counter, width, now + lease)
    amend(counter, width, slot, -amount)
    amend(counter, width, counter[4], amount)
    keep(list[r], counter, 2 * lease)
    list[r + 4] = counter[4]
  end
  keep_record(key, list)
  return 1
end

for i = 2, #KEYS do reply[i - 1] = renew(KEYS[i]) end
return answer(KEYS[1], reply)
