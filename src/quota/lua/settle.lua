-- Ends holds: each is changed to what was truly used, in the window it was admitted in. Idempotent.
--
-- KEYS  records
-- ARGV  1 one JSON list of whole numbers, nine per record: how (0 true amounts, 1 cancelled, 2 as held), what the
--         call used altogether (requests, input, output, nano-dollars), what its last attempt used (the same four)
-- Reply per record: how many charges passed what was held, -1 unknown, -2 ended before
local n = cjson.decode(ARGV[1])
local reply = {}

local function truth(a, meter)
  if meter == 0 then return n[a] end
  if meter == 1 then return n[a + 1] end
  if meter == 2 then return n[a + 2] end
  if meter == 3 then return n[a + 1] + n[a + 2] end
  if meter == 4 then return n[a + 3] end
  return 0
end

local function settle(key, b)
  local record, how = redis.call('GET', key), n[b + 1]
  if not record then
    -- A late admission must find that it was cancelled.
    if how == 1 then redis.call('SET', key, 'X', 'PX', ENDED) end
    return -1
  end
  if sub(record, 1, 1) ~= 'H' then return -2 end
  local list, overruns = unpack_record(record), 0
  for r = 3, #list, 6 do
    local meter, amount = list[r + 1], list[r + 5]
    local by
    if how == 2 and meter ~= IN_FLIGHT then by = 0
    elseif how == 1 then by = -amount
    else by = truth(list[r + 2] == 1 and b + 6 or b + 2, meter) - amount end
    if by > 0 then overruns = overruns + 1 end
    local counter = by ~= 0 and open(list[r])
    if counter then
      amend(counter, list[r + 3], list[r + 4], by)
      if counter[2] ~= 0 and counter[2] == list[1] then counter[3] = max(0, counter[3] + by) end
      redis.call('SET', list[r], cmsgpack.pack(unpack(counter)), 'KEEPTTL')
    end
  end
  redis.call('SET', key, 'S' .. string.format('%.0f', list[1]), 'PX', ENDED)
  return overruns
end

for i = 1, #KEYS do reply[i] = settle(KEYS[i], (i - 1) * 9) end
return reply
