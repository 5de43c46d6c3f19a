-- Renews the leases of holds that count as in flight.
--
-- KEYS  1 epoch, 2 number, 3.. records
-- ARGV  1 the epoch as the proxy knows it, 2 lease ms
-- Reply per record: 1 renewed, 0 unknown, 2 ended; 5 alone: epoch
if not epoch_of(redis.call('GET', KEYS[1]), ARGV[1]) then return answer(KEYS[2], {5}) end
local lease = tonumber(ARGV[2])
local reply = {}

local function renew(key)
  local record = redis.call('GET', key)
  if not record then return 0 end
  if sub(record, 1, 1) ~= 'H' then return 2 end
  local list, counters = unpack_record(record), {}
  -- All is read before anything is written: a counter that is just moving to another server stops the script.
  for r = 3, #list, 6 do
    if list[r + 1] == IN_FLIGHT then counters[r] = open(list[r]) or fresh(list[r + 3], floor((tick + lease) / list[r + 3])) end
  end
  for r, counter in pairs(counters) do
    local width, slot, amount = list[r + 3], list[r + 4], list[r + 5]
    roll_ring(counter, width, tick + lease)
    amend(counter, width, slot, -amount)
    amend(counter, width, counter[4], amount)
    keep(list[r], counter, 2 * lease + OUTLIVE)
    list[r + 4] = counter[4]
  end
  keep_record(key, list)
  return 1
end

for i = 3, #KEYS do reply[i - 2] = renew(KEYS[i]) end
return answer(KEYS[2], reply)
