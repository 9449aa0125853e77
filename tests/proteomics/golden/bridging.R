# Golden values of the quantile map between two products, from R's own pieces: ranks by ecdf(),
# inverse by quantile(type = 1), spline by splines::ns() in lm().
# Run in this folder: Rscript bridging.R
library(splines)
set.seed(20)
n <- 48
old <- rnorm(n, 4, 1.2)
new <- 0.6 * old + 0.15 * old^2 + rnorm(n, 0, 0.25)
every <- c(new, seq(min(new) - 2, max(new) + 2, length.out = 25))
mapped <- quantile(old, ecdf(new)(new), type = 1, names = FALSE)
knots <- quantile(new, c(0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95), names = FALSE)
model <- lm(mapped ~ ns(new, knots = knots))
out <- predict(model, data.frame(new = every))
text <- function(x) sprintf("%.17g", x)
write.csv(data.frame(old = text(old), new = text(new)), "bridging/bridges.csv",
          row.names = FALSE, quote = FALSE)
write.csv(data.frame(new = text(every), mapped = text(out)), "bridging/mapped.csv",
          row.names = FALSE, quote = FALSE)
