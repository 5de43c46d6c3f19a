-- Tells a Redis that lost some or all of its memory which charges are not in the books yet. Idempotent in one epoch.
--
-- KEYS  1 epoch, 2 number, then per hold: its record, its counters
-- ARGV  1 the epoch as the proxy knows it
--       2 one JSON list of whole numbers, per hold: is settled, how long ago it was admitted (ms), charges; then per charge:
--         meter, is own, width, lead, amount, start and end of the window it was admitted in (0 for rings)
-- Reply 1: how many were unknown   5 epoch
local epoch = epoch_of(redis.call('GET', KEYS[1]), ARGV[1])
if not epoch then return answer(KEYS[2], {5}) end
local n = cjson.decode(ARGV[2])
local unknown = 0

-- A charge that waits until its counter is seeded; returns its slot, 0 when it is no longer counted.
local function await(key, counter, width, slot, stop, amount)
  if width == 0 then roll_window(counter, slot, stop) end
  if width == 0 and counter[4] ~= slot then return 0 end
  if counter[2] ~= epoch then counter[2], counter[3] = epoch, 0 end
  counter[3] = counter[3] + amount
  keep(key, counter, width > 0 and 24 * width + DAY or stop - now + DAY)
  return slot
end

-- Makes what a record that survived says of a counter what the proxy says; a seeded counter may not have its charge.
local function correct(key, counter, width, slot, by)
  if not counter or by == 0 or (by < 0 and counter[1] == epoch) then return end
  amend(counter, width, slot, by)
  redis.call('SET', key, cmsgpack.pack(unpack(counter)), 'KEEPTTL')
end

local function assert_lease(key, counter, width, lead, amount, is_settled, slot, before)
  local ends = floor((tick + lead) / width)
  if is_settled and not before then return ends end
  counter = counter or fresh(width, ends)
  roll_ring(counter, width, tick + lead)
  if before then amend(counter, width, slot, -before) end
  if not is_settled then amend(counter, width, counter[4], amount) end
  keep(key, counter, 2 * lead + OUTLIVE)
  return counter[4]
end

-- `slot` and `before` are where and how much a surviving record says stands on the counter; `is_counted`: a settled
-- one says that the truth does.
local function assert_charge(key, b, age, is_settled, is_counted, slot, before)
  local width, lead, amount, start, stop = n[b + 3], n[b + 4], n[b + 5], n[b + 6], n[b + 7]
  local counter = open(key) or nil
  if lead > 0 then
    return assert_lease(key, counter, width, lead, amount, is_settled or is_counted, slot, before)
  end
  if before then correct(key, counter, width, slot, amount - before) end
  counter = counter or fresh(width, width > 0 and floor(tick / width) or start)
  local is_over = now >= stop
  if width > 0 then
    roll_ring(counter, width, tick)
    slot = min(slot or floor((tick - age) / width) + (counter[30] or 0), counter[4])
    is_over = slot <= counter[4] - 25
  end
  slot = slot or start
  if is_over then return 0 end
  if amount == 0 then return slot end
  if counter[1] ~= epoch then return await(key, counter, width, slot, stop, amount) end
  if not before and not is_counted then
    if width == 0 then roll_window(counter, start, stop) end
    amend(counter, width, slot, amount)
    keep(key, counter, width > 0 and 24 * width + DAY or stop - now + DAY)
  end
  return slot
end

local k, p = 3, 0
while k <= #KEYS do
  local is_settled, age, m = n[p + 1] == 1, n[p + 2], n[p + 3]
  local key, record = KEYS[k], redis.call('GET', KEYS[k])
  local kind = record and sub(record, 1, 1)
  local known = kind == 'H' and unpack_record(record) or nil
  local is_done = kind == 'X'
    or (kind == 'S' and tonumber(sub(record, 2)) == epoch)
    or (known and known[1] == epoch)
  if not is_done then
    local list, stands = {epoch, known and known[2] or 1}, {}
    for r = 3, known and #known or 0, 6 do stands[known[r]] = r end
    for c = 1, m do
      local b, r, s = p + 3 + (c - 1) * 7, 2 + (c - 1) * 6, stands[KEYS[k + c]]
      local slot = assert_charge(KEYS[k + c], b, age, is_settled, kind == 'S', s and known[s + 4], s and known[s + 5])
      list[r + 1], list[r + 2], list[r + 3] = KEYS[k + c], n[b + 4] > 0 and IN_FLIGHT or n[b + 1], n[b + 2]
      list[r + 4], list[r + 5], list[r + 6] = n[b + 3], slot, n[b + 5]
    end
    if kind == 'S' or is_settled then
      redis.call('SET', key, 'S' .. string.format('%.0f', epoch), 'PX', 10 * ENDED)
    else
      keep_record(key, list)
    end
    if not record then unknown = unknown + 1 end
  end
  k, p = k + 1 + m, p + 3 + m * 7
end
return answer(KEYS[2], {1, unknown})
