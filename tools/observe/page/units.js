// Numbers as people read them, in the units that the dashboards use.
const BYTES = [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10], ['B', 1]]
const SECONDS = [['s', 1], ['ms', 1e-3], ['µs', 1e-6]]

const round = (value) => String(Number(value.toPrecision(3)))

function scaled(value, units) {
  const [name, size] = units.find(([, size]) => Math.abs(value) >= size) ?? units.at(-1)
  return value === 0 ? '0' : `${round(value / size)} ${name}`
}

export function inUnit(value, unit, decimals) {
  if (decimals !== undefined) return value.toLocaleString('en', { maximumFractionDigits: decimals })
  if (unit === 's') return scaled(value, SECONDS)
  if (unit === 'bytes') return scaled(value, BYTES)
  if (unit === 'percentunit') return `${round(100 * value)} %`
  return Math.abs(value) < 1000 ? round(value) : Math.round(value).toLocaleString('en')
}
