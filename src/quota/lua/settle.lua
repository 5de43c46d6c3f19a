-- Ends holds: each is changed to what was truly used, in the window it was admitted in. Idempotent.
--
-- KEYS  1 number, 2.. records
-- ARGV  1 one JSON list of whole numbers, eleven per record: how (0 true amounts, 1 cancelled, 2 as held), what the
--         call used altogether (requests, input, output, nano-dollars), what its last attempt used (the same four),
--         the credits of both
-- Reply per record: how many charges passed what was held, -1 unknown, -2 ended before
local n = cjson.decode(ARGV[1])
local reply = {}

local function truth(b, is_own, meter)
  local a = b + (is_own and 6 or 2)
  if meter == 6 then return n[b + (is_own and 11 or 10)] end
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
  -- All is read before anything is written: a counter that is just moving to another server stops the script.
  local changes, counters = {}, {}
  for r = 3, #list, 6 do
    local meter, amount = list[r + 1], list[r + 5]
    local by
    if how == 2 and meter ~= IN_FLIGHT then by = 0
    elseif how == 1 then by = -amount
    else by = truth(b, list[r + 2] == 1, meter) - amount end
    if by > 0 then overruns = overruns + 1 end
    changes[r] = by
    if by ~= 0 and not counters[list[r]] then counters[list[r]] = open(list[r]) or nil end
  end
  for r = 3, #list, 6 do
    local counter, by = counters[list[r]], changes[r]
    if counter and by ~= 0 then
      -- A counter that was seeded after a loss this hold was not asserted in may not have its charge any more.
      local has_it = counter[1] == list[1] or counter[2] == list[1] or list[r + 1] == IN_FLIGHT
      if has_it or by > 0 then amend(counter, list[r + 3], list[r + 4], by) end
      local is_awaited = list[r + 4] ~= 0 and (list[r + 3] > 0 or list[r + 4] == counter[4])
      if is_awaited and counter[2] ~= 0 and counter[2] == list[1] then counter[3] = max(0, counter[3] + by) end
    end
  end
  for name, counter in pairs(counters) do
    redis.call('SET', name, cmsgpack.pack(unpack(counter)), 'KEEPTTL')
  end
  redis.call('SET', key, 'S' .. string.format('%.0f', list[1]), 'PX', ENDED)
  return overruns
end

for i = 2, #KEYS do reply[i - 1] = settle(KEYS[i], (i - 2) * 11) end
return answer(KEYS[1], reply)
