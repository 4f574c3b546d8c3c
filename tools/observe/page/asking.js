// What Prometheus answers to the queries of a dashboard, with its variables filled in.

export class Asking {
  constructor(config, chosen) {
    this.config = config
    this.chosen = chosen // namespace, pod, seconds
    this.end = Date.now() / 1000
    this.start = this.end - chosen.seconds
    this.step = Math.max(1, Math.ceil(chosen.seconds / 240))
  }

  filled(expr) {
    const values = {
      cluster: '.*', job: '.*', namespace: this.chosen.namespace, pod: this.chosen.pod,
      __rate_interval: this.chosen.seconds > 900 ? `${4 * this.step}s` : this.config.rateInterval,
      __range: `${this.chosen.seconds}s`,
    }
    return expr.replace(/\$(\w+)/g, (_, name) => values[name])
  }

  // The lines of a query: legend, labels, points of [seconds, number].
  async lines(target) {
    const query = { query: this.filled(target.expr) }
    if (target.instant) return (await this.#get('query', { ...query, time: this.end })).result.map((one) => line(target, one, [one.value]))
    const range = { start: this.start, end: this.end, step: this.step }
    return (await this.#get('query_range', { ...query, ...range })).result.map((one) => line(target, one, one.values))
  }

  // Single events of a latency, each with its trace: the slowest of each moment, as thousands would hide each other.
  async dots(target) {
    const series = await this.#get('query_exemplars', { query: this.filled(target.expr), start: this.start, end: this.end })
    const slowest = new Map()
    for (const one of series.flatMap((one) => one.exemplars).filter((one) => one.labels.trace_id)) {
      const moment = Math.floor((60 * (one.timestamp - this.start)) / this.chosen.seconds)
      const dot = { at: one.timestamp, value: Number(one.value), trace: `${this.config.traces}/traces/${one.labels.trace_id}` }
      if (!(slowest.get(moment)?.value > dot.value)) slowest.set(moment, dot)
    }
    return [...slowest.values()]
  }

  // When something was so: from, to, and what.
  async spans(annotation) {
    const lines = await this.lines({ expr: annotation.expr, legendFormat: annotation.textFormat })
    return lines.flatMap(({ legend, points }) => runs(points, this.step).map(([from, to]) => ({ from, to, says: legend, colour: annotation.iconColor })))
  }

  async values(label) {
    return this.#get(`label/${label}/values`, { 'match[]': 'constellation_build_info', start: this.start, end: this.end })
  }

  async rules() {
    return (await this.#get('rules', { type: 'alert' })).groups.flatMap((group) => group.rules)
  }

  async #get(what, parameters) {
    const answer = await fetch(`${this.config.prometheus}/api/v1/${what}?${new URLSearchParams(parameters)}`)
    const said = await answer.json()
    if (said.status !== 'success') throw new Error(said.error)
    return said.data
  }
}

function line(target, { metric }, values) {
  const legend = target.legendFormat.replace(/{{(\w+)}}/g, (_, name) => metric[name] ?? '')
  const points = values.map(([at, text]) => [at, Number(text)]).filter(([, value]) => Number.isFinite(value))
  return { legend, labels: metric, points }
}

function runs(points, step) {
  const found = []
  for (const [at] of points) {
    const last = found.at(-1)
    if (last && at - last[1] <= 1.5 * step) last[1] = at
    else found.push([at, at])
  }
  return found
}
