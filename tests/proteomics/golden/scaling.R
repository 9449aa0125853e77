# Golden values of quantile normalisation and cyclic loess, by the Bioconductor packages
# limma (3.54) and preprocessCore (1.60) in R 4.2.
# Run in this folder:  Rscript scaling.R
# complete.csv, ties.csv, missing.csv: samples × proteins; one output per case.
suppressMessages({library(limma); library(preprocessCore)})
set.seed(4)
n <- 7; p <- 80
level <- runif(p, 2, 12)
x <- level + matrix(rnorm(n * p, 0, 0.5), p, n)
for (j in 1:n) x[, j] <- x[, j] + rnorm(1) + rnorm(1, 0, 0.05) * (level - 7)
ties <- round(x)
gaps <- x
gaps[sample(n * p, 70)] <- NA
rownames(x) <- sprintf("p%02d", 1:p); colnames(x) <- sprintf("s%d", 1:n)
dimnames(ties) <- dimnames(gaps) <- dimnames(x)

keep <- function(values, name) {
  text <- apply(t(values), 2, function(v) ifelse(is.na(v), "", sprintf("%.17g", v)))
  write.csv(data.frame(sample = colnames(x), text), file.path("scaling", paste0(name, ".csv")),
            row.names = FALSE, quote = FALSE)
}
core <- function(values) {
  result <- normalize.quantiles(values); dimnames(result) <- dimnames(values); result
}
keep(x, "complete"); keep(ties, "ties"); keep(gaps, "missing")
keep(normalizeQuantiles(x), "complete_quantile")
keep(core(x), "complete_quantile_core")
keep(normalizeQuantiles(ties), "ties_quantile")
keep(normalizeQuantiles(gaps), "missing_quantile")
for (method in c("fast", "affy", "pairs"))
  keep(normalizeCyclicLoess(x, method = method), paste0("complete_", method))
