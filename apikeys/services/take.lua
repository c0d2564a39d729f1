-- Takes `cost` tokens from the caller's bucket, or says when they will be there. Time is Redis's own, in
-- microseconds; every number is an integer below 2^53.
--
-- At most `limit` tokens are out at any moment, and each comes back one period after it was taken: so no
-- window of one period, wherever it begins, holds more than `limit`. A bucket that refills steadily would let
-- nearly twice as many through in its first period. A `burst` below the limit is a token bucket (GCRA) on top.
--
-- KEYS[1]  a list of pairs: first (theoretical arrival time, tokens ever returned), then for each take that is
--          still out (time of return, tokens ever taken up to and with it), oldest first
-- ARGV     limit, period, burst, cost (0 looks without taking)
-- returns  {1 or 0, remaining, microseconds until it may be tried again, microseconds until a token returns}
local limit, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local burst, cost = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local head = redis.call('LRANGE', KEYS[1], 0, 3)
-- The server's clock was set back by more than a period: what is out would stay out for as long.
if head[3] and tonumber(head[3]) > now + 2 * period then
  redis.call('DEL', KEYS[1])
  head = {}
end
local arrival, returned = tonumber(head[1] or 0), tonumber(head[2] or 0)

local expired, oldest, through = 0, tonumber(head[3]), tonumber(head[4])
while oldest and oldest <= now do
  expired, returned = expired + 1, through
  local pair = redis.call('LRANGE', KEYS[1], 2 * expired + 2, 2 * expired + 3)
  oldest, through = tonumber(pair[1]), tonumber(pair[2])
end
if expired > 0 then
  -- The last expired pair becomes the head: its second number is already `returned`.
  redis.call('LTRIM', KEYS[1], 2 * expired, -1)
  redis.call('LSET', KEYS[1], 0, arrival)
end

local taken, newest = returned, nil
if oldest then
  local last = redis.call('LRANGE', KEYS[1], -2, -1)
  newest, taken = tonumber(last[1]), tonumber(last[2])
end
local free = limit - (taken - returned)

local wait = 0
if cost > free then
  local index = 0
  local back, passed = oldest, through
  while back and passed - returned < cost - free do
    index = index + 1
    local pair = redis.call('LRANGE', KEYS[1], 2 * index + 2, 2 * index + 3)
    back, passed = tonumber(pair[1]), tonumber(pair[2])
  end
  wait = (back or now + period) - now
end

local emission = math.ceil(period / limit)
local start = math.max(arrival, now)
if burst < limit then
  local depth = burst * emission
  free = math.min(free, math.floor((depth - (start - now)) / emission))
  wait = math.max(wait, start + cost * emission - now - depth)
end

if wait <= 0 and cost > 0 then
  -- Above 1,000 tokens, takes of the same thousandth of a period share a pair, which returns at its end.
  local back = now + period
  if limit > 1000 then
    local grain = math.max(1, math.floor(period / 1000))
    back = math.floor(now / grain) * grain + grain + period
  end
  if #head == 0 then redis.call('RPUSH', KEYS[1], 0, 0) end
  if newest and newest >= back then
    redis.call('LSET', KEYS[1], -1, taken + cost)
    back = newest
  else
    redis.call('RPUSH', KEYS[1], back, taken + cost)
  end
  if burst < limit then redis.call('LSET', KEYS[1], 0, start + cost * emission) end
  redis.call('PEXPIRE', KEYS[1], math.ceil((back - now) / 1000) + 1)
  oldest, free = oldest or back, free - cost
end
return {wait <= 0 and 1 or 0, math.max(free, 0), math.max(wait, 0), oldest and oldest - now or 0}
