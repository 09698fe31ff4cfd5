/** The queries of a Grafana dashboard, as Prometheus gets them once Grafana has put its variables in. */

interface Dashboard {
  readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
}

export function promqlOf(dashboard: string): string[] {
  const { panels } = JSON.parse(dashboard) as Dashboard;
  return panels
    .flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
    .map((expr) => expr.replaceAll("$__rate_interval", "1m").replaceAll("$job", ".+"));
}
